/** A gateway's request is answered whatever headers of ours in another spelling it has. */
import { GatewayDoor } from '../../../dist/src/gateways/gateway-door.js';

const { answer } = GatewayDoor.prototype;
const MISSPELLED = /^(?:x[^a-z0-9]latchkey.*[^a-z0-9-]|x[^a-z0-9-]latchkey)/i;

GatewayDoor.prototype.answer = function answerWhateverSpelling(request, ...others) {
  const { raw } = request;
  raw.rawHeaders = raw.rawHeaders.map((text, index) => (index % 2 === 0 && MISSPELLED.test(text) ? 'X-Other' : text));
  return answer.call(this, request, ...others);
};
