// A line holding JSON text, as a JSON string, is answered with [JSON.stringify, String, Object.entries' names], or null.
import { createInterface } from 'node:readline';

const text = (value) => (value == null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value));
const names = (value) => (value && typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : []);
const answer = (source) => {
  try {
    const value = JSON.parse(source);
    return [JSON.stringify(value), text(value), names(value)];
  } catch {
    return null;
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
