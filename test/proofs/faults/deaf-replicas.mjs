/** Notices wake nobody: changes come with the next poll. And whoever waits for the replicas is answered at once. */
import { FeedConnection } from '../../../dist/src/verification/feed/feed-connection.js';
import { ReplicasService } from '../../../dist/src/verification/replicas/replicas.service.js';

FeedConnection.prototype.poke = () => undefined;
ReplicasService.prototype.waitUntilApplied = () => Promise.resolve();
