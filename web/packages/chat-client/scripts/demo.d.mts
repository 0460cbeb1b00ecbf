export const DEMO_BUNDLE: string;
export function bundleForDemo(): Promise<string>;
