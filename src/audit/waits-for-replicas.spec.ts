import { describe, expect, it } from '@jest/globals';
import { Delete, Query } from '@nestjs/common';
import { WaitsForReplicas } from './waits-for-replicas.js';

class QueryDto {
  wait?: 'true' | 'false';
}

describe('@WaitsForReplicas', () => {
  it('takes a route whose query is named, and one that has none', () => {
    class Named {
      @Delete()
      @WaitsForReplicas({ besides: QueryDto })
      end(@Query() query: QueryDto) {
        return query;
      }

      @Delete('all')
      @WaitsForReplicas()
      endAll() {}
    }
    expect(new Named()).toBeDefined();
  });

  it('refuses a route whose query is not named: its parameters would be refused', () => {
    expect(() => {
      class Unnamed {
        @Delete()
        @WaitsForReplicas()
        end(@Query() query: QueryDto) {
          return query;
        }
      }
      return Unnamed;
    }).toThrow('end: `besides`');
  });

  it('refuses the name of a query that the route does not have: nothing would judge its parameters', () => {
    expect(() => {
      class Without {
        @Delete()
        @WaitsForReplicas({ besides: QueryDto })
        end() {}
      }
      return Without;
    }).toThrow('end: `besides`');
  });
});
