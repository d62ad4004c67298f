/** The feed, once it has worked, lets an error of its connection go unheard. */
import process from 'node:process';
import { FeedPoller } from '../../../dist/src/key-cache/feed/feed-poller.service.js';

FeedPoller.prototype.reportAway = function throwOutside(error) {
  if (this.applied.ageMs === null) return;
  process.nextTick(() => {
    throw error;
  });
};
