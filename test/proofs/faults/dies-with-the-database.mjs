/** The feed lets an error of its connection go unheard. */
import { FeedService } from '../../../dist/src/verification/feed.service.js';

FeedService.prototype.reportAway = (error) => {
  setImmediate(() => {
    throw error;
  });
};
