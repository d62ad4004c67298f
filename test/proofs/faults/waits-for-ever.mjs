/** A statement waits for its answer for as long as it takes. */
import pg from 'pg';

const { query } = pg.Client.prototype;

pg.Client.prototype.query = function queryWithoutBound(...given) {
  this.connectionParameters.query_timeout = 0;
  return query.apply(this, given);
};
