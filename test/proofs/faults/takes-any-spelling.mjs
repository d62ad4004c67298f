/** A gateway's request is answered whatever headers of ours in another spelling it has. */
import { ForwardAuthService } from '../../../dist/src/gateways/forward-auth.service.js';

const { handle } = ForwardAuthService.prototype;
const MISSPELLED = /^(?:x[^a-z0-9]latchkey.*[^a-z0-9-]|x[^a-z0-9-]latchkey)/i;

ForwardAuthService.prototype.handle = function answerWhateverSpelling(request, ...others) {
  const { raw } = request;
  raw.rawHeaders = raw.rawHeaders.map((text, index) => (index % 2 === 0 && MISSPELLED.test(text) ? 'X-Other' : text));
  return handle.call(this, request, ...others);
};
