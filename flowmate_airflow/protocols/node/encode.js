'use strict';

// A message as JSON that every reader accepts.

const { Failure, isObject, describe } = require('./failures');

const MAX_DEPTH = 1000; // readers have a limit too, and fall over the whole line
const CLOSING = /[\]}]{200}/;
const ESCAPES = /\\(?:u(d[89a-f][0-9a-f]{2})|[^])/gi;

function withoutHalves(text) {
  // Half a surrogate pair has no UTF-8; Node writes it as an escape, at which other readers stop.
  return text.indexOf('\\ud') < 0 ? text : text.replace(ESCAPES, (escape, half) => (half ? '\ufffd' : escape));
}

function countBadNumbers(value) {
  let count = 0;
  JSON.stringify(value, (key, item) => {
    count += typeof item === 'number' && !Number.isFinite(item) ? 1 : 0;
    return item;
  });
  return count;
}

function depthOf(text) {
  let depth = 0;
  let deepest = 0;
  const tokens = /"(?:[^"\\]|\\.)*"|[[{]|[\]}]/g;
  for (let match = tokens.exec(text); match !== null; match = tokens.exec(text)) {
    if (match[0] === '{' || match[0] === '[') {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (match[0][0] !== '"') {
      depth -= 1;
    }
  }
  return deepest;
}

/** Return a value as JSON, as it is now. `warn` is told what could not be kept. */
function encode(value, warn) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    const circular = isObject(error) && /circular|cyclic/i.test(error.message);
    const reason = circular ? 'it refers to itself (circular)' : describe(error);
    throw new Failure(`what it gave cannot be written as JSON: ${reason.split('\n')[0]}`);
  }
  if (CLOSING.test(text) && depthOf(text) > MAX_DEPTH) {
    throw new Failure(`what it gave is nested more than ${MAX_DEPTH} levels deep`);
  }
  if (text.includes('null')) {
    const bad = countBadNumbers(value);
    if (bad) {
      const what = bad === 1 ? '1 number of its data is' : `${bad} numbers of its data are`;
      warn(`${what} NaN or infinite; JSON has null for that.`);
    }
  }
  return withoutHalves(text);
}

module.exports = { encode };
