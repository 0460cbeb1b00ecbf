"""`/ws/chat`: sockets, what they are told, and what they may say."""
