import { Injectable } from '@nestjs/common';
import type { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { Config } from '../config/config.js';

/** Guesses that an attacker who knows lists and habits needs at least, as the library estimates: 10^8. */
const MIN_SCORE = 3;
/** Characters that are looked at: enough to tell, and the time grows with their square. */
const MAX_CHARACTERS = 32;
/** Parts of names and addresses that say nothing. */
const MIN_WORD_CHARACTERS = 3;
/** Characters that a password has beside such words, at least. */
const MIN_OTHER_CHARACTERS = 8;
const PRODUCT = 'latchkey';

/** Whose password it is to be. */
export interface PasswordOwner {
  readonly email: string | null;
  readonly name: string;
}

let estimator: Promise<ZxcvbnFactory> | undefined;

/**
 * Which passwords are too easy to guess: those on a list of common ones and what is close to it, repetitions,
 * sequences, patterns of the keyboard, dates, and words of the account, the installation and the product. There are no
 * rules of composition. The list comes with the package: nothing leaves the process.
 *
 * @see OWASP ASVS 5.0, 6.2
 */
@Injectable()
export class PasswordRules {
  private readonly words: readonly string[];

  constructor({ publicUrl, jwtIssuer }: Config) {
    this.words = [PRODUCT, ...partsOf(new URL(publicUrl).hostname), ...partsOf(jwtIssuer)];
  }

  /** What is wrong with a password, as the end of a sentence that begins with its name; null if nothing is. */
  async problem(password: string, { email, name }: PasswordOwner): Promise<string | null> {
    const words = [...this.words, ...(email === null ? [] : [email, ...partsOf(email)]), ...partsOf(name)];
    const text = password.normalize('NFC');
    const { score, feedback } = (await loadEstimator()).check(text, words);
    if (score < MIN_SCORE) return tooEasy(reasonOf(feedback.warning));
    return without(text, words).length < MIN_OTHER_CHARACTERS ? tooEasy(reasonOf('userInputs')) : null;
  }
}

/** Loaded when the first password is set: a server that never sets one does not hold the lists. */
function loadEstimator(): Promise<ZxcvbnFactory> {
  return (estimator ??= (async () => {
    const [{ ZxcvbnFactory: Factory }, { dictionary, adjacencyGraphs }] = await Promise.all([
      import('@zxcvbn-ts/core'),
      import('@zxcvbn-ts/language-common'),
    ]);
    return new Factory({ dictionary, graphs: adjacencyGraphs, maxLength: MAX_CHARACTERS });
  })());
}

function tooEasy(reason: string): string {
  return `is too easy to guess: ${reason}. A few unrelated words make a good one`;
}

/** What is left of a password without these words. */
function without(password: string, words: readonly string[]): string {
  const longestFirst = [...words].sort((a, b) => b.length - a.length);
  return longestFirst.reduce((rest, word) => rest.replaceAll(word.toLowerCase(), ''), password.toLowerCase());
}

function partsOf(text: string): string[] {
  return [...text.toLowerCase().split(/[^\p{L}\p{N}]+/u), text.toLowerCase()].filter(
    (part) => part.length >= MIN_WORD_CHARACTERS,
  );
}

function reasonOf(warning: string | null): string {
  switch (warning) {
    case 'userInputs':
      return 'it is made of words of this account or installation';
    case 'simpleRepeat':
    case 'extendedRepeat':
      return 'it repeats itself';
    case 'sequences':
    case 'straightRow':
    case 'keyPattern':
      return 'it follows a sequence or the keyboard';
    case 'dates':
    case 'recentYears':
      return 'it is made of dates';
    default:
      return 'it is a common password, or close to one';
  }
}
