import { readFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import { appendLine } from './append-line.js';
import type { Anchor } from './chain-check.js';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.js';

/** What a checkpoint file says. */
export interface CheckpointFile {
  readonly anchors: readonly Anchor[];
  /** Numbers, from 1, of lines that claim to be checkpoints and were not signed with our key. */
  readonly forgedLines: readonly number[];
}

/** Adds one line to the end of a checkpoint file. @throws as {@link appendLine} */
export function appendCheckpoint(path: string, checkpoint: SignedCheckpoint): Promise<void> {
  return appendLine(path, JSON.stringify(checkpoint));
}

/**
 * Reads a file of checkpoints: our own, or log lines that were collected from stdout, where the checkpoint is the
 * member `auditCheckpoint`. Lines that do not claim to be checkpoints are passed over: whoever could spoil a line
 * could as well remove it.
 *
 * @throws Error when the file cannot be read
 */
export async function readCheckpoints(path: string, publicKey: KeyObject): Promise<CheckpointFile> {
  const anchors: Anchor[] = [];
  const forgedLines: number[] = [];
  for (const [index, line] of (await readFile(path, 'utf8')).split('\n').entries()) {
    const claim = claimOf(line);
    if (claim === null) continue;
    const anchor = openCheckpoint(publicKey, claim);
    if (anchor === null) forgedLines.push(index + 1);
    else anchors.push(anchor);
  }
  return { anchors, forgedLines };
}

/** The checkpoint a line claims to be; null for other lines of a log. */
function claimOf(line: string): unknown {
  if (!line.includes('latchkey-audit-checkpoint')) return null;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return 'auditCheckpoint' in value ? value['auditCheckpoint'] : value;
  } catch {
    return null;
  }
}
