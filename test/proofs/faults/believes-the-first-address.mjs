/** Of a chain of addresses the first is believed, which is what a client writes. */
import { IncomingMessage } from 'node:http';

const { get, set } = Object.getOwnPropertyDescriptor(IncomingMessage.prototype, 'headers');

Object.defineProperty(IncomingMessage.prototype, 'headers', {
  set,
  get() {
    const headers = get.call(this);
    const chain = headers['x-forwarded-for'];
    if (typeof chain === 'string') headers['x-forwarded-for'] = chain.split(',')[0];
    return headers;
  },
});
