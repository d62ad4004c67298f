/** One answer in so many is looked into: enough to notice that a run measured refusals. */
const LOOK_AT_EVERY = 64;

/** What the answers of a run said, by a sample of them. */
export class Verdicts {
  codes = {};
  #seen = 0;

  note(status, body) {
    this.#seen += 1;
    if (this.#seen % LOOK_AT_EVERY !== 1) return;
    const code = /"code":"([A-Z_]+)"/.exec(body)?.[1] ?? String(status);
    this.codes[code] = (this.codes[code] ?? 0) + 1;
  }
}
