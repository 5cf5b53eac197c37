// Signs as developer.invoxmedical.com/webhooks/introduction describes: a stranger to the code that the tests check.
// A line {"values": [JSON text, or null for undefined], "apiKey": text, "key": text} is answered with the signature.
import { createHmac } from 'node:crypto';
import { createInterface } from 'node:readline';

const text = (value) => (value == null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value));

for await (const line of createInterface({ input: process.stdin })) {
  const { values, apiKey, key } = JSON.parse(line);
  const texts = values.map((value) => (value === null ? '' : text(JSON.parse(value))));
  const message = [...texts, apiKey].join('|');
  console.log(JSON.stringify(createHmac('sha256', key).update(message, 'utf8').digest('base64')));
}
