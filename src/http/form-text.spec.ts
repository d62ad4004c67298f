import { describe, expect, it } from '@jest/globals';
import { readForm } from './form-text.js';

const read = (text: string | Buffer) => {
  const reading = readForm(Buffer.from(text as string));
  return 'value' in reading ? { ...(reading.value as Record<string, string>) } : reading.errors;
};

describe('readForm', () => {
  it.each([
    ['token=abc&token_type_hint=access_token', { token: 'abc', token_type_hint: 'access_token' }],
    ['token=a%2Bb+c%3D', { token: 'a+b c=' }],
    ['token=a=b', { token: 'a=b' }],
    ['token=%C3%A9', { token: 'é' }],
    ['', {}],
    ['&&=x&token=', {}],
    ['token', {}],
  ])('reads %j', (text, value) => {
    expect(read(text)).toEqual(value);
  });

  it.each([
    ['token=a&token=b', [{ path: 'token', message: 'must not be given twice' }]],
    ['token=a&%74oken=a', [{ path: 'token', message: 'must not be given twice' }]],
    ['token=%zz', [{ path: '', message: 'the body must be a form in percent-encoded UTF-8' }]],
    ['token=%ff', [{ path: '', message: 'the body must be a form in percent-encoded UTF-8' }]],
    ['token=a%00', [{ path: '', message: 'the body must be a form in percent-encoded UTF-8' }]],
    ['x=1&'.repeat(40), [{ path: '', message: 'the body must not have more than 32 parameters' }]],
  ])('refuses %j', (text, errors) => {
    expect(read(text)).toEqual(errors);
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(read(Buffer.from([0x74, 0x3d, 0xff]))).toEqual([{ path: '', message: 'the body must be UTF-8' }]);
  });

  it('gives names of every object no meaning', () => {
    const reading = readForm(Buffer.from('__proto__=x&constructor=y'));
    const value = (reading as { value: Record<string, string> }).value;
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(value['constructor']).toBe('y');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});
