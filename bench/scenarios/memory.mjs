/** What a replica weighs with all keys in its cache: a process of its own, so that no other scenario is weighed too. */
import { residentMb } from '../processes.mjs';

export const title = 'memory';

export async function* run({ latchkey, keys, question }) {
  await latchkey.addReplica();
  const { port, child } = latchkey.replicas.at(-1);
  const freshMb = await residentMb(child.pid);
  for (let at = 0; at < keys.length; at += 100) {
    const items = keys.slice(at, at + 100).map(({ secret }) => ({ key: secret, ...question }));
    const { results } = await latchkey.call('/verify/batch', { items }, { apiKey: latchkey.serviceKey, port });
    if (results.some(({ code }) => code !== 'VALID')) throw new Error('a key was refused');
  }
  const fullMb = await residentMb(child.pid);
  await latchkey.removeReplica();
  yield { figure: 'memory of a fresh replica', value: freshMb, unit: 'MB RSS' };
  yield { figure: `memory with ${keys.length} cached keys`, value: fullMb, unit: 'MB RSS' };
}
