export const DEMO_BUNDLE: string;
export const INTERNAL: string[];
export function bundle(): Promise<string>;
export function bundleForDemo(): Promise<string>;
