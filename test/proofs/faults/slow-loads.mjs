/** No fault, but bad luck: what a replica reads of keys is on its way for up to 400 ms, so that changes overtake it. */
import { KeyRecordsReader } from '../../../dist/src/key-cache/records/key-records.reader.js';

const { load } = KeyRecordsReader.prototype;
const LONGEST_MS = 400;

KeyRecordsReader.prototype.load = async function loadSlowly(...given) {
  const rows = await load.apply(this, given);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_MS));
  return rows;
};
