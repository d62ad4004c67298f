import { beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSecrets, sealSecrets, writePrivately } from './sealed-secrets.js';

const SECRETS = { AUDIT_KEY: 'a canary that must not be seen', JWT_SECRET: '2:new,1:old' };
const PASSPHRASE = 'correct horse battery staple';

describe('Sealed secrets', () => {
  let sealed: string;

  beforeAll(async () => {
    sealed = await sealSecrets(SECRETS, PASSPHRASE);
  });

  it('open with their passphrase alone', async () => {
    expect(sealed).not.toContain('canary');
    expect(await openSecrets(sealed, PASSPHRASE)).toEqual(SECRETS);
    await expect(openSecrets(sealed, 'another passphrase')).rejects.toThrow(
      'The passphrase is wrong, or the file was altered.',
    );
  });

  it('are sealed anew each time', async () => {
    expect(await sealSecrets(SECRETS, PASSPHRASE)).not.toBe(sealed);
  });

  it.each([
    ['its cost', (file: Sealed) => (file.kdf.N = 2 ** 16)],
    ['its salt', (file: Sealed) => (file.kdf.salt = file.ciphertext.slice(0, 24))],
    ['its content', (file: Sealed) => (file.ciphertext = `A${file.ciphertext.slice(1)}`)],
    ['a shorter tag', (file: Sealed) => (file.tag = file.tag.slice(0, 4))],
  ])('do not open when %s was altered', async (_, alter) => {
    const file = JSON.parse(sealed) as Sealed;
    alter(file);
    await expect(openSecrets(JSON.stringify(file), PASSPHRASE)).rejects.toThrow(
      'The passphrase is wrong, or the file was altered.',
    );
  });

  it('say that the cost was altered, and not that the passphrase is wrong, where no backup has it', async () => {
    for (const cost of [
      { N: 2 ** 30 },
      { N: 1000 },
      { N: 2 ** 17, r: 99 },
      { N: 2 ** 17, r: 8.5 },
      { N: 2 ** 17, p: '1' },
    ]) {
      const file = JSON.parse(sealed) as Sealed;
      Object.assign(file.kdf, cost);
      await expect(openSecrets(JSON.stringify(file), PASSPHRASE)).rejects.toThrow(
        'The file asks for a cost that no backup has',
      );
    }
  });

  it('do not open when they are something else', async () => {
    for (const text of ['', 'null', '{}', '{"type":"latchkey-secrets/2"}'])
      await expect(openSecrets(text, PASSPHRASE)).rejects.toThrow('This is not a file of sealed secrets');
  });

  it('need a passphrase that is not short', async () => {
    await expect(sealSecrets(SECRETS, 'short')).rejects.toThrow('at least 12 characters');
  });
});

describe('A private file', () => {
  it('is for its owner alone and replaces none', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-private-'));
    const path = join(directory, 'made', 'secrets');
    await writePrivately(path, 'one');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await expect(writePrivately(path, 'two')).rejects.toThrow('exists and is not replaced');
    expect(await readFile(path, 'utf8')).toBe('one');
    await rm(directory, { recursive: true });
  });
});

interface Sealed {
  kdf: { N: number; salt: string };
  ciphertext: string;
  tag: string;
}
