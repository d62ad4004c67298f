import { Transform } from 'class-transformer';

/**
 * Query values are text. Each of these turns the one canonical text of a value into the value; any other text, and a
 * parameter given twice, stays what it is, so that the field's own validator refuses it by name: nothing is coerced.
 */
const fromText = (read: (text: string) => unknown) =>
  Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? read(value) : value), {
    toClassOnly: true,
  });

/** `10` is 10; `010`, `1e1`, `+10`, `10.0` and ` 10` are no numbers. */
export const WholeNumberText = () => fromText((text) => (/^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text));

/** As `WholeNumberText`, with up to 15 digits after a point. */
export const DecimalText = () =>
  fromText((text) => (/^(0|[1-9]\d{0,14})(\.\d{1,15})?$/.test(text) ? Number(text) : text));

/** `true` and `false`, and nothing else. */
export const BooleanText = () => fromText((text) => (text === 'true' ? true : text === 'false' ? false : text));

/** A parameter that may repeat: given once, it is a list of one. */
export const ListText = () => fromText((text) => [text]);
