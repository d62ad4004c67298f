/**
 * The loader, a process of its own: reads its options from standard input, prints one JSON object.
 * Without `rate` each connection sends its next request as soon as it has an answer; with it requests are due at even
 * intervals, whatever the server does.
 */
import { readFileSync } from 'node:fs';
import { bodiesOf } from './bodies.mjs';
import { Verdicts } from './verdicts.mjs';

const options = JSON.parse(readFileSync(0, 'utf8'));
const { run } = await import(options.rate ? './paced.mjs' : './saturating.mjs');
const verdicts = new Verdicts();
const result = await run({
  url: options.url,
  connections: options.connections,
  seconds: options.seconds,
  rate: options.rate,
  headers: { 'content-type': 'application/json', ...options.headers },
  nextBody: bodiesOf(options),
  onAnswer: (status, body) => verdicts.note(status, body),
});
console.log(JSON.stringify({ ...result, codes: verdicts.codes }));
