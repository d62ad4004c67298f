/** What Latchkey has booked on Ada's key. */
import { LatchkeyClient } from '@latchkey/client';

const latchkey = new LatchkeyClient({
  baseUrl: process.env.LATCHKEY_URL ?? 'http://127.0.0.1:3000',
  key: process.env.LATCHKEY_ADMIN_TOKEN,
});
const { totalRequests, totalTokens, budget } = await latchkey.keys.usage(process.env.ADA_KEY_ID);
console.log(
  `${totalRequests} calls, ${totalTokens} tokens, ${budget.spentCents} of ${budget.limitCents} cents spent, ${budget.heldCents} held`,
);
