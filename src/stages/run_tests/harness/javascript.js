// Runs one test of a solution and reports how it went.
//
// Usage: `node _harness.js FD`. The secret that makes a report credible is read from FD after the test has ended, so that
// neither the solution nor the test has it. The report is a line: the secret, a word, and a message.
//
// The solution is a script whose names the test sees. The test is the body of an async function; it is compiled before
// the solution runs. `assert`, `console.assert` and `expect` count each check, and remember one that fails even if the
// test swallows the exception.
'use strict';
const fs = require('fs');
const vm = require('vm');
const path = require('path');
const Module = require('module');
const realAssert = require('assert');
const { isDeepStrictEqual, inspect } = require('util');

const secret = Number(process.argv[2]);
const SECRET = 32;
const { readSync, writeSync } = fs;
const leave = process.reallyExit.bind(process);
const { AssertionError } = realAssert;
const stringify = String;
const bytes = Buffer.from.bind(Buffer);
const LINE = Buffer.alloc(4000, 10);
const WORDS = { passed: bytes(' passed '), failed: bytes(' failed '), error: bytes(' error ') };
let passed = 0;
let failure = null;
let done = false;

// A line of its own. What the solution could have replaced has no influence on the word, and does not see the secret.
function report(kind, message) {
  if (done) return;
  done = true;
  const word = WORDS[kind];
  const text = bytes(message.replace(/\s+/g, ' ').slice(0, 1000));
  readSync(secret, LINE, 1, SECRET, null);
  let end = 1 + SECRET;
  for (let at = 0; at < word.length; at++) LINE[end++] = word[at];
  for (let at = 0; at < text.length && end < LINE.length - 1; at++) LINE[end++] = text[at] === 10 ? 32 : text[at];
  writeSync(1, LINE, 0, end + 1, null);
  leave(0);
}

function describe(error) {
  if (!(error instanceof Error)) return 'threw ' + inspect(error);
  const place = /solution\.js:(\d+)/.exec(stringify(error.stack));
  const line = place ? ` (solution.js, line ${place[1]})` : '';
  const isPlain = error instanceof AssertionError && error.generatedMessage && error.operator !== '==' && 'expected' in error;
  const text = isPlain ? `got ${inspect(error.actual)}, expected ${inspect(error.expected)}` : stringify(error.message);
  return error.name + ': ' + text + line;
}

function fail(text) {
  if (failure === null) failure = text;
}

// A function whose call is a check.
function counted(check) {
  return function (...args) {
    let result;
    try {
      result = check.apply(this, args);
    } catch (error) {
      fail(describe(error));
      throw error;
    }
    if (result && typeof result.then === 'function') {
      return result.then((value) => (passed++, value), (error) => { fail(describe(error)); throw error; });
    }
    passed++;
    return result;
  };
}

function countingAssert(real) {
  const made = counted(real);
  for (const name of Object.keys(real)) {
    const value = real[name];
    made[name] = typeof value === 'function' && /^[a-z]/.test(name) ? counted(value) : value;
  }
  made.AssertionError = AssertionError;
  return made;
}

const strict = countingAssert(realAssert.strict);
const assert = countingAssert(realAssert);
assert.strict = strict;
strict.strict = strict;

// The matchers of Jest that tests of functions use.
function expect(actual) {
  const matchers = (not) => {
    const is = (right, text) => counted(() => {
      if (Boolean(right) === not) throw new AssertionError({ message: `expected that ${inspect(actual)} ${not ? 'not ' : ''}${text}` });
    })();
    const thrown = () => {
      try { actual(); } catch (error) { return { error }; }
      return null;
    };
    const fits = (caught, wanted) => {
      if (!caught || wanted === undefined) return caught;
      const message = stringify(caught.error && caught.error.message);
      if (typeof wanted === 'string') return message.includes(wanted);
      return wanted instanceof RegExp ? wanted.test(message) : typeof wanted !== 'function' || caught.error instanceof wanted;
    };
    return {
      toBe: (wanted) => is(Object.is(actual, wanted), `is ${inspect(wanted)}`),
      toEqual: (wanted) => is(isDeepStrictEqual(actual, wanted), `equals ${inspect(wanted)}`),
      toStrictEqual: (wanted) => is(isDeepStrictEqual(actual, wanted), `equals ${inspect(wanted)}`),
      toBeCloseTo: (wanted, digits = 2) => is(Math.abs(actual - wanted) < 10 ** -digits / 2, `is close to ${wanted}`),
      toBeTruthy: () => is(actual, 'is true'),
      toBeFalsy: () => is(!actual, 'is false'),
      toBeNull: () => is(actual === null, 'is null'),
      toBeUndefined: () => is(actual === undefined, 'is undefined'),
      toBeDefined: () => is(actual !== undefined, 'is defined'),
      toBeNaN: () => is(Number.isNaN(actual), 'is NaN'),
      toBeGreaterThan: (wanted) => is(actual > wanted, `is greater than ${wanted}`),
      toBeGreaterThanOrEqual: (wanted) => is(actual >= wanted, `is at least ${wanted}`),
      toBeLessThan: (wanted) => is(actual < wanted, `is less than ${wanted}`),
      toBeLessThanOrEqual: (wanted) => is(actual <= wanted, `is at most ${wanted}`),
      toBeInstanceOf: (wanted) => is(actual instanceof wanted, `is a ${wanted.name}`),
      toContain: (wanted) => is(actual.includes(wanted), `contains ${inspect(wanted)}`),
      toHaveLength: (wanted) => is(actual.length === wanted, `has length ${wanted}`),
      toMatch: (wanted) => is(typeof wanted === 'string' ? actual.includes(wanted) : wanted.test(actual), `matches ${wanted}`),
      toThrow: (wanted) => is(fits(thrown(), wanted), 'throws'),
    };
  };
  return { ...matchers(false), not: matchers(true) };
}

// `test('name', () => ...)`: run at once, one after the other.
let last = Promise.resolve();
function test(name, body) {
  last = last.then(() => body());
}
const describeTests = (name, body) => body();

function scripted(code) {
  return code
    .replace(/^#!.*/, '')
    .replace(/^export\s+\{[^}]*\}\s*;?\s*$/gm, '')
    .replace(/^export\s+default\s+(?!async\b|function\b|class\b)(\w+)\s*;?\s*$/gm, '')
    .replace(/^export\s+(default\s+)?/gm, '')
    .replace(/^import\s+\*\s+as\s+(\w+)\s+from\s+(['"][^'"]+['"])/gm, 'const $1 = require($2)')
    .replace(/^import\s+(\w+|\{[^}]*\})\s+from\s+(['"][^'"]+['"])/gm, 'const $1 = require($2)');
}

function requiring(asserts, own) {
  const real = Module.createRequire(path.resolve('solution.js'));
  const load = (name) => {
    const plain = name.replace(/^node:/, '');
    if (asserts && plain === 'assert') return asserts;
    if (asserts && plain === 'assert/strict') return asserts.strict;
    if (asserts && /^(@jest\/globals|vitest)$/.test(name)) return { expect, test, it: test, describe: describeTests };
    if (own && /^\.{0,2}\//.test(name)) return own();
    return real(name);
  };
  load.main = undefined;
  return load;
}

async function main() {
  const code = scripted(fs.readFileSync('solution.js', 'utf8'));
  const text = scripted(fs.readFileSync('_test.js', 'utf8'));
  fs.unlinkSync('_harness.js');
  fs.unlinkSync('_test.js');
  process.argv.splice(1, process.argv.length, path.resolve('solution.js'));
  const names = 'assert, expect, test, it, describe, console, require';
  let compiled;
  try {
    compiled = new vm.Script(`(async ({ ${names} }) => {{\n${text}\n}})`, { filename: '_test.js', lineOffset: -1 });
  } catch (error) {
    return report('error', 'the test is not valid: ' + describe(error));
  }
  const module = { exports: {}, filename: path.resolve('solution.js'), children: [] };
  const files = { __filename: module.filename, __dirname: path.dirname(module.filename) };
  Object.assign(globalThis, { require: requiring(null, null), module, exports: module.exports, ...files });
  vm.runInThisContext(code, { filename: 'solution.js' });
  // A name that is not exported is found among the script's own.
  const own = () => new Proxy(Object(module.exports), {
    get: (exported, name) => {
      if (name in exported || typeof name !== 'string' || !/^[\w$]+$/.test(name)) return exported[name];
      return vm.runInThisContext(`typeof ${name} === 'undefined' ? undefined : ${name}`);
    },
  });
  const checkedConsole = Object.create(console);
  checkedConsole.assert = (value, ...rest) => {
    if (value) passed++;
    else fail('console.assert: ' + rest.map((one) => stringify(one)).join(' '));
  };
  const given = { assert, expect, test, it: test, describe: describeTests, console: checkedConsole, require: requiring(assert, own) };
  await compiled.runInThisContext()(given);
  await last;
}

function end(error) {
  if (failure !== null) report('failed', failure);
  else if (error === null && passed === 0) report('error', 'the test checks nothing');
  else if (error === null) report('passed', '');
  else report(error instanceof AssertionError ? 'failed' : 'error', describe(error));
}

process.on('uncaughtException', (error) => end(error));
main().then(() => end(null), (error) => end(error === null ? new Error('null was thrown') : error));
