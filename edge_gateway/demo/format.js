// How times, names and texts are shown.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const SHORT_DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const LONG_DATE = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
const DAY_MS = 86_400_000;

function daysAgo(date, now = new Date()) {
  const midnight = (of) => new Date(of.getFullYear(), of.getMonth(), of.getDate()).getTime();
  return Math.round((midnight(now) - midnight(date)) / DAY_MS);
}

export const clock = (iso) => CLOCK.format(new Date(iso));
export const fullTime = (iso) => FULL.format(new Date(iso));

/** For the list: today's time, a weekday within the week, a date before. */
export function briefTime(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days <= 0) return CLOCK.format(date);
  if (days === 1) return 'Yesterday';
  return (days < 7 ? WEEKDAY : SHORT_DATE).format(date);
}

/** In a sentence: `at 14:05`, `yesterday at 9:12`, `5 Jan`. */
export function lastSeen(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days <= 0) return `at ${CLOCK.format(date)}`;
  return days === 1 ? `yesterday at ${CLOCK.format(date)}` : SHORT_DATE.format(date);
}

export function dayName(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days <= 0) return 'Today';
  return days === 1 ? 'Yesterday' : LONG_DATE.format(date);
}

export const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toLocaleUpperCase()).join('') || '?';
}

/** One of eight tints, always the same for a person. */
export function tint(id) {
  let sum = 7;
  for (const unit of id) sum = (sum * 31 + unit.codePointAt(0)) >>> 0;
  return sum % 8;
}

const ROLES = {
  recruiter: 'Recruiter',
  company: 'Hiring company',
  candidate: 'Candidate',
  moderator: 'Moderator',
  admin: 'Administrator',
};

export const roleName = (role) => ROLES[role] ?? '';
/** Somebody the chat has only an id of has no name yet. */
export const nameOf = (user) => user.displayName.trim() || 'Somebody';
export const firstName = (user) => nameOf(user).split(/\s+/u)[0];
export const count = (n) => (n > 99 ? '99+' : String(n));
