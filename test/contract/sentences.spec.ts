import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { TestApp } from '../support/app.js';
import { mistakesOf } from '../support/mistakes.js';
import { checkedInDocument } from '../support/openapi.js';

/** Every sentence that a wrong field is answered with. A new one belongs here, beside those that say the same. */
const SENTENCES: readonly RegExp[] = [
  // Of any field, by its schema: packages/contract/src/schema.ts.
  /^must be (given|text|a whole number|a number|true or false|a list|an object)$/,
  /^is not a (field|parameter) of this request$/,
  /^must not be (listed|given) twice$/,
  /^must be from \d+ to \d+$/,
  /^must have (\d+ to \d+|at (most|least) \d+) (characters|entr(y|ies))$/,
  // What else a verdict may tell: src/verification/verify.dto.ts.
  /^must be limits$/,
  // Of a grammar: packages/contract/src/grammar.ts.
  /^must be 1 to \d+ characters (without control characters|on one line, and not blank)$/,
  /^must be 1 to 128 visible ASCII characters without (quotes, backslashes and spaces|spaces, and neither \. nor \.\.)$/,
  /^must be 1 to (64 of A-Z a-z 0-9 \. _ : \/ -|64 of a-z 0-9 - and begin with a letter)$/,
  /^must be 1 to 100 of A-Z a-z 0-9 \. _ -, and neither \. nor \.\.$/,
  /^must be (a UUID|the name of a role)$/,
  /^must be an IPv4 or IPv6 address, or a network such as 10\.0\.0\.0\/8$/,
  /^has host bits; [\d.]+\/\d+\?$/,
  /^must be an instant such as 2027-12-31T23:59:59Z(, or a day such as 2027-12-31)?$/,
  /^must have at most [26] decimals$/,
  /^must not contain NUL or half a surrogate pair$/,
  // One of a few texts.
  /^must be (live or test|member or admin|key or owner|enforce or observe|-used or member|total or monthly|true or false|person or service|success or refused|hour or day|json or csv|changes or reads)$/,
  /^must be (revoke|current|cents|model|month|previous|day, owner, tag, model or key|activate, deactivate, renew, revoke or tag)$/,
  /^must be (active, inactive, expired or revoked|nginx, or absent)$/,
  /^must be (-?\w+, )+-?\w+ or -?\w+$/,
  // Of one field alone.
  /^must be a flat map of text by name, at most 4096 bytes as JSON$/,
  /^must be a grant that matches at least one permission$/,
  /^must be an e-mail address of at most 254 characters$/,
  /^must be 12 to 1024 characters$/,
  /^must be 3 to 100 characters without line breaks \(2 in scripts without spaces, such as Chinese or Thai\)$/,
  /^must be meta\.nextCursor of (another page|a page of this list, with the same filters and order)$/,
  /^must be meta\.newest of (an earlier answer|a list of the same key)$/,
  /^must be the (alias of the path, or be left out|id of a reservation|seq of an event)$/,
  /^must not be empty$/,
  /^must be 1 to 32 visible ASCII characters$/,
  /^must be a whole number from 1 to [12]00$/,
  /^must be (an id|an id or a name|an action such as api-keys:revoke|a type such as api-key)$/,
  /^must be the (nextCursor of another page|marker of notices, as GET \/auth\/me gives it)$/,
  /^must be a path of the console, at most 1024 characters$/,
  /^must be the SHA-256 of the whole secret: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url$/,
  /^must be a time zone of the IANA database, such as Europe\/Berlin$/,
  /^must be installation, or a kind and an id such as project:[0-9a-f-]{36}$/,
  // What fields say together.
  /^(must lie in the future|must be before to|is required for a person|is only for your own password|there is no such user|needs budgetLimitCents|is unknown)$/,
  /^must be a number when isUnlimited is false$/,
  /^must be given( when isUnlimited is false|, unless a reservationId is)$/,
  /^(contradicts budgetLimitCents|belongs to the action (renew|revoke)|must name a tag, unless remove does)$/,
  /^is too easy to guess: .*$/,
  /^must be left out: (an installation has no id|(total|slots) ha(s|ve) no (calendar|period))$/,
  /^must be left out: a limit of (cents has amountCents|(tokens|requests|slots) has amount)$/,
  /^there is no such (key, or it is revoked|project)$/,
  /^is said by the key itself: set its budgetLimitCents, with budgetType (total|monthly)$/,
  /^must be (key or )?(owner or )?subject, or be left out$/,
  /^must be (minute, )?day, week, month or total: (cents|tokens|requests) are not counted by (minute|hour)$/,
  /^must be (minute, )?(hour, )?day, week or month: there may be any number of subjects, so that their accounts have an end$/,
  /^unknown reservation, or made by another caller$/,
];

const isKnown = (message: string) => SENTENCES.some((sentence) => sentence.test(message));

interface Wrong {
  readonly path: string;
  readonly message: string;
}

describe('Every field of every route', () => {
  let app: TestApp;
  /** What each mistake was answered, for `REFUSALS_FILE`, which two builds can be compared by. */
  const answers: string[] = [];
  const odd: string[] = [];
  let wrongs = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '100000' });
    const file = process.env['REFUSALS_FILE'];
    let token = await app.adminToken();
    for (const { method, target, body, about } of mistakesOf(await checkedInDocument(), file !== undefined)) {
      const answer = await app.request(method, `/${target}`, { token, ...(body === undefined ? {} : { body }) });
      if (answer.status === 401) token = await app.adminToken();
      const said = `${method} ${target.split('?')[0]!} ${about}`;
      if (answer.status >= 500) odd.push(`${said}: ${answer.status}`);
      const entries = (answer.body?.results ?? []) as { errors?: Wrong[]; error?: Wrong[] }[];
      const groups = [(answer.body?.errors ?? []) as Wrong[], ...entries.map((entry) => entry.errors ?? [])];
      wrongs += groups.flat().length;
      if (answer.status === 400 || entries.length > 0) {
        answers.push(`${said}: ${JSON.stringify(answer.body.errors ?? entries.map((entry) => entry.errors ?? null))}`);
      }
      odd.push(...new Set(groups.flatMap(oddOf).map((what) => `${said}: ${what}`)));
    }
    if (file !== undefined) await writeFile(file, `${answers.join('\n')}\n`);
  }, 600_000);
  afterAll(() => app.stop());

  it('says of a wrong value one sentence of one set, at its place', () => {
    expect(odd).toEqual([]);
    expect(wrongs).toBeGreaterThan(500);
  });
});

/** What is odd about the errors of one answer. */
function oddOf(errors: readonly Wrong[]): string[] {
  const paths = errors.map(({ path }) => path);
  const twice = paths.filter((path, index) => paths.indexOf(path) < index);
  return [
    ...errors.filter(({ message }) => !isKnown(message)).map(({ path, message }) => `${path}: "${message}" is new`),
    ...twice.map((path) => `${path} has two sentences`),
  ];
}
