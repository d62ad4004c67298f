/** Of a chain of addresses the first is believed, which is what a client writes. */
import { IncomingMessage } from 'node:http';

const { _addHeaderLine: add } = IncomingMessage.prototype;

IncomingMessage.prototype._addHeaderLine = function addFirstAddress(field, value, headers) {
  if (field.toLowerCase() !== 'x-forwarded-for') return add.call(this, field, value, headers);
  headers['x-forwarded-for'] ??= value.split(',')[0];
};
