import vm from 'node:vm';
import { TestEnvironment } from 'jest-environment-node';

/**
 * Jest's environment for Node, with an ordinary global object. For each global that is read, Jest's own asks an
 * interceptor and a proxy behind it: in a loop, `Map`, `Promise` and `BigInt` then cost more than the loop.
 *
 * @see https://nodejs.org/api/vm.html, vm.constants.DONT_CONTEXTIFY (Node 20.18 and later)
 */
export default class PlainContext extends TestEnvironment {
  constructor(...args) {
    const { createContext } = vm;
    vm.createContext = (_sandbox, options) => createContext(vm.constants.DONT_CONTEXTIFY, options);
    try {
      super(...args);
    } finally {
      vm.createContext = createContext;
    }
  }
}
