'use strict';

// One call of a component's process(): what it emits, what it returns, and how it ends.

const { Failure, describe, failureType, isObject } = require('./failures');
const { fromComponent } = require('./dialect');
const { encode } = require('./encode');
const { placeOf } = require('./component');

function isThenable(value) {
  return isObject(value) && typeof value.then === 'function';
}

function isGenerator(value) {
  return isObject(value) && typeof value.next === 'function' && typeof value.throw === 'function';
}

class Call {
  /**
   * `step` is what all calls of a run share; `input` is the message it is called with, without id where there is
   * none; `given` is the copy that the component gets, `message`, and that one's `data` before anything was done to it.
   */
  constructor(step, input, given) {
    this.step = step;
    this.input = input;
    this.given = given;
    this.errors = [];
    this.rejections = new Map();
    this.rebounded = null;
    this.ended = false;
    this.settled = false;
    this.pending = false; // a promise was returned and has not settled
    this.callbacks = false; // nothing was returned: it works with callbacks, or is done
    this.closed = false; // its result is out
    this.expired = false;
    this.activity = 0;
    this.listener = null;
  }

  label() {
    const place = `in ${this.step.found.name}`;
    return this.input.id === undefined ? place : `${place}, message ${this.input.id}`;
  }

  warn(text) {
    this.step.warnOnce(text);
  }

  // --- what the component does ---

  data(emitted) {
    this.activity += 1;
    if (this.expired) {
      this.warn('It gave data after its time was up; the data is left out.');
      return;
    }
    if (this.closed && this.failed) {
      this.warn('It gave data for a message after that was told as failed; the data is left out.');
      return;
    }
    if (this.closed) {
      this.warn('It gave data after its call was over; the data goes on, but outside of that call.');
    }
    const message = fromComponent(emitted, this.step.dialect, this.given, (text) => this.warn(text));
    this.addPassthrough(message);
    const text = encode(message, (reason) => this.warn(reason));
    if (!text.startsWith('{"data":')) {
      throw new Failure(`JSON has no form for its data (a ${typeof message.data})`);
    }
    this.step.output.sendLine(`{"type":"MESSAGE","message":${text}}`);
  }

  addPassthrough(message) {
    const earlier = this.input.passthrough;
    if (this.step.keepsPassthrough) {
      const own = { data: message.data, metadata: message.metadata, attachments: message.attachments };
      message.passthrough = Object.assign({}, earlier, { [this.step.id]: own });
    } else if (isObject(earlier) && Object.keys(earlier).length > 0) {
      message.passthrough = earlier;
    }
  }

  error(error) {
    this.fail(error);
    if (this.callbacks && this.step.dialect === 'ferryman') {
      this.settle(); // there an error is an `end` too
    }
  }

  rebound(reason) {
    this.activity += 1;
    this.rebounded = describe(reason);
  }

  end() {
    this.activity += 1;
    if (this.ended) {
      this.warn('It emitted `end` more than once.');
    }
    this.ended = true;
    this.settle();
  }

  // --- how it goes ---

  get failed() {
    return this.errors.length > 0;
  }

  /** Note an error of this call; the first one is the reason that is told. */
  fail(error) {
    this.activity += 1;
    if (this.expired) {
      return;
    }
    if (this.closed) {
      this.step.late.push(error);
      return;
    }
    this.errors.push(error);
  }

  /** Take in an error that nobody caught; process() may never settle after it. */
  crash(error) {
    this.fail(error);
    this.settle();
  }

  settle() {
    if (!this.settled) {
      this.settled = true;
      if (this.listener !== null) {
        this.listener();
      }
    }
  }

  onSettled(listener) {
    this.listener = listener;
    if (this.settled) {
      listener();
    }
  }

  /** Nothing is left in the event loop although process() has not settled. */
  starve() {
    if (this.pending && this.errors.length === 0 && this.rejections.size === 0) {
      this.fail(new Failure('its process() never finishes: the promise waits for something that can no longer happen'));
    }
    this.settled = true;
  }

  /** The time for one message is up. */
  expire(seconds) {
    this.fail(new Failure(`no result within ${seconds} seconds (setting timeout)`, 'transient'));
    this.expired = true;
    this.settled = true;
  }

  /** Call process() and wait until it and all that it started has ended; returns `{failure}` or `{rebound}` or `{}`. */
  async run(invoke) {
    this.step.guard.current = this;
    this.start(invoke);
    await this.step.idle.wait(this, this.step.session.limits.timeout);
    this.rejections.forEach((reason) => this.fail(reason));
    this.closed = true;
    this.step.guard.current = null;
    if (this.errors.length > 0) {
      return { failure: this.failure() };
    }
    return this.rebounded === null ? {} : { rebound: this.rebounded };
  }

  start(invoke) {
    let result;
    try {
      result = invoke();
    } catch (error) {
      this.crash(error);
      return;
    }
    if (isThenable(result)) {
      this.pending = true;
      Promise.resolve(result).then((value) => this.returned(value), (error) => this.crash(error));
    } else if (result) {
      this.returned(result);
    } else {
      // It emits `end`, or the event loop runs empty.
      this.callbacks = true;
      if (this.errors.length > 0 && this.step.dialect === 'ferryman') {
        this.settle();
      }
    }
  }

  returned(value) {
    this.pending = false;
    try {
      if (isGenerator(value)) {
        throw new Failure('its process is a generator function, which no SDK runs; wrap it with co()');
      }
      if (Array.isArray(value) && this.step.returnsRows) {
        value.forEach((row) => this.data({ data: row }));
      } else if (value) {
        this.data(value);
      }
    } catch (error) {
      this.fail(error);
    }
    this.settle();
  }

  failure() {
    const first = this.errors[0];
    const more = this.errors.length > 1 ? ` (and ${this.errors.length - 1} more: ${describe(this.errors[1])})` : '';
    const place = first instanceof Failure ? '' : placeOf(first, this.step.component.folder);
    return { text: describe(first) + more, failureType: failureType(first), place };
  }
}

module.exports = { Call };
