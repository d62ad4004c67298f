import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Whether certificates can be made; said loudly where not, because then nothing of TLS has been tested. */
export function hasOpenssl(): boolean {
  if (spawnSync('openssl', ['version']).status === 0) return true;
  // Straight to the terminal: Jest leaves out what a file prints all of whose tests are skipped.
  process.stderr.write(
    '\nTLS TESTS SKIPPED: there is no openssl here. Install it (apt-get install openssl) to try TLS to PostgreSQL.\n\n',
  );
  return false;
}

/** PEM files of a certificate and its key. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority that lives in a directory for as long as a test. */
export class Authority {
  private constructor(
    private readonly directory: string,
    readonly file: string,
  ) {}

  static async create(directory: string, name: string): Promise<Authority> {
    const file = join(directory, `${name}.pem`);
    await run('openssl', [
      'req',
      '-x509',
      ...EC_KEY,
      '-keyout',
      join(directory, `${name}.key`),
      '-out',
      file,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
    ]);
    return new Authority(directory, file);
  }

  /** A certificate for a common name and a DNS name; expired where `days` is negative. */
  async issue(name: string, commonName: string, days = 2): Promise<Certificate> {
    const path = (extension: string) => join(this.directory, `${name}.${extension}`);
    await run('openssl', ['req', ...EC_KEY, '-keyout', path('key'), '-out', path('csr'), '-subj', `/CN=${commonName}`]);
    await writeFile(path('ext'), `subjectAltName=DNS:${commonName}\n`);
    const signer = ['-CA', this.file, '-CAkey', this.file.replace(/pem$/, 'key'), '-CAcreateserial'];
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      path('csr'),
      ...signer,
      '-days',
      String(days),
      '-extfile',
      path('ext'),
      '-out',
      path('pem'),
    ]);
    return { cert: path('pem'), key: path('key') };
  }

  /** One that no authority has signed. */
  async selfSigned(name: string, commonName: string): Promise<Certificate> {
    const [cert, key] = [join(this.directory, `${name}.pem`), join(this.directory, `${name}.key`)];
    await run('openssl', [
      'req',
      '-x509',
      ...EC_KEY,
      '-keyout',
      key,
      '-out',
      cert,
      '-subj',
      `/CN=${commonName}`,
      '-addext',
      `subjectAltName=DNS:${commonName}`,
      '-days',
      '2',
    ]);
    return { cert, key };
  }
}
