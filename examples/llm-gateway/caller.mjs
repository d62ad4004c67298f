/** Ada, with OpenAI's own client: it knows nothing of Latchkey. Reads OPENAI_API_KEY and OPENAI_BASE_URL. */
import OpenAI from 'openai';
import { setTimeout as sleep } from 'node:timers/promises';

const openai = new OpenAI({ maxRetries: 8 });
const messages = [{ role: 'user', content: 'What do keys do?' }];
/** Whom Ada's program serves: the gateway counts for each. */
const user = 'reader-1';

/** Ada reads; meanwhile what was not used is free again. */
const read = () => sleep(500);

const answer = await openai.chat.completions.create({
  model: 'gpt-4o-mini',
  messages,
  user,
  max_completion_tokens: 60,
});
console.log(
  `gpt-4o-mini: ${answer.usage.completion_tokens} tokens: ${answer.choices[0].message.content.slice(0, 36)}…`,
);

await openai.chat.completions
  .create({ model: 'o3', messages, user, max_completion_tokens: 60 })
  .catch(({ code, message }) => console.log(`o3: ${code}: ${message}`));

await read();
const stream = await openai.chat.completions.create({
  model: 'gpt-4o',
  messages,
  user,
  max_completion_tokens: 60,
  stream: true,
});
let pieces = 0;
for await (const chunk of stream) {
  if (chunk.choices[0]?.delta.content) pieces += 1;
  if (pieces === 20) break;
}
console.log(`gpt-4o: left the stream after ${pieces} tokens`);

for (let call = 1; ; call += 1) {
  await read();
  try {
    const { usage } = await openai.chat.completions.create({
      model: 'gpt-4o',
      messages,
      user,
      max_completion_tokens: 60,
    });
    console.log(`gpt-4o, call ${call}: ${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  } catch (error) {
    if (error.code !== 'insufficient_quota') throw error;
    const days = Number(error.headers.get('retry-after')) / 86_400;
    console.log(`gpt-4o, call ${call}: ${error.code}: ${error.message} (new month in ${days.toFixed(1)} days)`);
    break;
  }
}
