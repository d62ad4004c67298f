/**
 * A stand-in for a model provider: answers `POST /v1/chat/completions` as OpenAI does, whole or as a stream, with a
 * made-up text of as many tokens as were asked for. A token is a word.
 */
import Fastify from 'fastify';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const WORDS = ['keys', 'open', 'doors', 'and', 'budgets', 'close', 'them', 'again'];
const TOKENS = 60;

const app = Fastify();

app.post('/v1/chat/completions', async (request, reply) => {
  const {
    model,
    messages,
    max_completion_tokens: max = TOKENS,
    stream = false,
    stream_options: options,
  } = request.body;
  const outputTokens = Math.min(max, TOKENS);
  const inputTokens = messages.reduce((sum, { content }) => sum + content.split(/\s+/).length + 3, 3);
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
  const words = Array.from({ length: outputTokens }, (_, index) => WORDS[index % WORDS.length]);
  const base = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
  if (!stream) {
    const message = { role: 'assistant', content: words.join(' ') };
    return { ...base, object: 'chat.completion', choices: [{ index: 0, message, finish_reason: 'stop' }], usage };
  }
  return reply.type('text/event-stream').send(events(base, words, options?.include_usage === true ? usage : null));
});

async function* chunks(base, words, usage) {
  const chunk = (choices, extra = {}) => ({ ...base, object: 'chat.completion.chunk', choices, ...extra });
  for (const word of words) {
    yield chunk([{ index: 0, delta: { content: `${word} ` }, finish_reason: null }]);
    await sleep(10);
  }
  yield chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]);
  if (usage !== null) yield chunk([], { usage });
}

function events(base, words, usage) {
  return ReadableStream.from(
    (async function* () {
      for await (const chunk of chunks(base, words, usage)) yield `data: ${JSON.stringify(chunk)}\n\n`;
      yield 'data: [DONE]\n\n';
    })(),
  );
}

await app.listen({ port: Number(process.env.UPSTREAM_PORT ?? 4001) });
