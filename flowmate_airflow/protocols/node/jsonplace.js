'use strict';

// Where a text stops being JSON. Node's own message tells it differently in each release, or not at all.

const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

class Place extends Error {
  constructor(index, reason) {
    super(reason);
    this.index = index;
  }
}

class Scanner {
  constructor(text) {
    this.text = text;
    this.index = 0;
  }

  take(pattern) {
    pattern.lastIndex = this.index;
    const match = pattern.exec(this.text);
    if (match === null) {
      return false;
    }
    this.index += match[0].length;
    return true;
  }

  next() {
    this.take(SPACE);
    return this.text[this.index];
  }

  fail(reason) {
    const found = this.text[this.index];
    throw new Place(this.index, found === undefined ? `the file ends where ${reason} is expected`
      : `${JSON.stringify(found)} stands where ${reason} is expected`);
  }

  value() {
    const first = this.next();
    if (first === '{') {
      this.list('}', () => this.pair());
    } else if (first === '[') {
      this.list(']', () => this.value());
    } else if (!(this.take(STRING) || this.take(NUMBER) || this.take(WORD))) {
      this.fail(first === '"' ? 'a complete text in quotes' : 'a value');
    }
  }

  pair() {
    this.next();
    if (!this.take(STRING)) {
      this.fail('a key in double quotes');
    }
    if (this.next() !== ':') {
      this.fail('a colon');
    }
    this.index += 1;
    this.value();
  }

  list(close, item) {
    this.index += 1;
    if (this.next() === close) {
      this.index += 1;
      return;
    }
    for (;;) {
      item();
      const after = this.next();
      if (after === close) {
        this.index += 1;
        return;
      }
      if (after !== ',') {
        this.fail(`a comma or ${close}`);
      }
      const comma = this.index;
      this.index += 1;
      if (this.next() === close) {
        throw new Place(comma, `a comma before ${close}: remove it`);
      }
    }
  }

  document() {
    this.value();
    if (this.next() !== undefined) {
      this.fail('the end of the file');
    }
  }
}

/** Return `{line, column, reason}` of the first place where a text is not JSON, or null if it is. */
function jsonPlace(text) {
  try {
    new Scanner(text).document();
    return null;
  } catch (error) {
    if (!(error instanceof Place)) {
      return { line: 1, column: 1, reason: 'it is nested too deeply' };
    }
    const before = text.slice(0, error.index).split('\n');
    return { line: before.length, column: before[before.length - 1].length + 1, reason: error.message };
  }
}

module.exports = { jsonPlace };
