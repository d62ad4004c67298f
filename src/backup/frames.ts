/** One part of a backup's content. */
export type Frame =
  | { readonly kind: 'table'; readonly table: string; readonly columns: readonly string[] }
  | { readonly kind: 'rows'; readonly data: Buffer }
  /** Value and whether it has been given out, of each sequence. */
  | {
      readonly kind: 'sequences';
      readonly values: Readonly<Record<string, readonly [value: string, isCalled: boolean]>>;
    };

/** A frame is its length (4 bytes), its kind (1 byte) and its payload. */
const PREFIX_BYTES = 5;
const KINDS = { table: 0x54, rows: 0x52, sequences: 0x53 } as const;

/** The bytes of a frame. */
export function encodeFrame(frame: Frame): Buffer {
  const payload = frame.kind === 'rows' ? frame.data : Buffer.from(JSON.stringify(frame));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(payload.length);
  prefix[4] = KINDS[frame.kind];
  return Buffer.concat([prefix, payload]);
}

/** The frames of a stream of bytes. @throws Error where it ends within a frame */
export async function* decodeFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + rest.readUInt32BE();
      if (rest.length < end) break;
      yield frameOf(rest[4]!, rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
    }
  }
  if (rest.length > 0) throw new Error('The content of the backup ends within a part.');
}

function frameOf(kind: number, payload: Buffer): Frame {
  return kind === KINDS.rows ? { kind: 'rows', data: payload } : (JSON.parse(payload.toString('utf8')) as Frame);
}

/** Gathers small chunks into blocks of at least this size, so that they are worth a frame. */
export async function* inBlocks(chunks: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let block: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    block.push(chunk);
    length += chunk.length;
    if (length < bytes) continue;
    yield Buffer.concat(block);
    block = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(block);
}
