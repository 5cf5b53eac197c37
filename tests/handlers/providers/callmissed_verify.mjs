// Checks a delivery as docs.callmissed.com/docs/whatsapp-api describes: a stranger to the code that the tests check.
// A line {"body": base64, "header": text, "secret": text} is answered with true or false, in JSON.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createInterface } from 'node:readline';

for await (const line of createInterface({ input: process.stdin })) {
  const { body, header, secret } = JSON.parse(line);
  const digest = createHmac('sha256', secret).update(Buffer.from(body, 'base64')).digest('hex');
  const [ours, theirs] = [`sha256=${digest}`, header].map((text) => Buffer.from(text));
  console.log(JSON.stringify(ours.length === theirs.length && timingSafeEqual(ours, theirs)));
}
