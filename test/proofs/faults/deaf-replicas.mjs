/** Notices wake nobody: changes come with the next poll. A caller that waits for the replicas is answered at once. */
import { FeedConnection } from '../../../dist/src/key-cache/feed/feed-connection.js';
import { ReplicasService } from '../../../dist/src/replicas/replicas.service.js';

FeedConnection.prototype.poke = () => undefined;
ReplicasService.prototype.waitUntilApplied = () => Promise.resolve();
