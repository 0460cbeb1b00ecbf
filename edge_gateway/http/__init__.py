"""HTTP as such: routing, request bodies, answers, errors, CORS. It knows no route of ours."""
