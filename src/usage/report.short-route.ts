import type { ShortRoute } from '../http/short-cut/short-route.js';
import type { UsageService } from './usage.service.js';

/** `POST /usage` on the short cut. @see UsageController */
export function reportShortRoute(usage: UsageService): ShortRoute {
  return {
    path: '/usage',
    answer: async (body, caller, place) => JSON.stringify(await usage.report(caller, body, place)),
  };
}
