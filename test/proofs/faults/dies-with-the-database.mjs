/** The feed lets an error of its connection go unheard. */
import process from 'node:process';
import { FeedService } from '../../../dist/src/verification/feed.service.js';

FeedService.prototype.reportAway = (error) => {
  process.nextTick(() => {
    throw error;
  });
};
