'use strict';

// A step's memory: what the component emitted last, given to each call as a copy of its own.

const { Failure, isObject } = require('./failures');
const { encode } = require('./encode');

class Snapshot {
  constructor(output, state) {
    this.output = output;
    this.silent = false;
    this.text = JSON.stringify(isObject(state) ? state : {});
  }

  fresh() {
    return JSON.parse(this.text);
  }

  replace(value, warn) {
    if (!isObject(value)) {
      throw new Failure(`it emitted a snapshot that is no object but ${value === null ? 'null' : typeof value}`);
    }
    this.text = encode(value, warn);
    if (!this.silent) {
      this.output.sendLine(`{"type":"STATE","state":${this.text}}`);
    }
  }

  update(value, warn) {
    if (!isObject(value) || Array.isArray(value)) {
      throw new Failure('it emitted updateSnapshot with something that is no object');
    }
    if (value.$set) {
      warn('It emitted updateSnapshot with $set, which is not supported: the snapshot stays as it was.');
      return;
    }
    this.replace(Object.assign(this.fresh(), value), warn);
  }
}

module.exports = { Snapshot };
