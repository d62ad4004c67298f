/** The feed, once it has worked, lets an error of its connection go unheard. */
import process from 'node:process';
import { FeedService } from '../../../dist/src/key-cache/feed/feed.service.js';

FeedService.prototype.reportAway = function throwOutside(error) {
  if (this.ageMs === null) return;
  process.nextTick(() => {
    throw error;
  });
};
