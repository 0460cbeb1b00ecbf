export const DEMO_BUNDLE: string;
export const INTERNAL: string[];
export function bundle(): Promise<Record<'index.js' | 'live.js', string>>;
export function bundleForDemo(): Promise<string>;
