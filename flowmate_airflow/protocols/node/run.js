'use strict';

// The verb `run`: one call for each message, in order, and then those that rebounded.

const { Call } = require('./call');
const { toComponent } = require('./dialect');
const { Failure, EXIT_CODES, describe, failureType, isObject } = require('./failures');
const { exported } = require('./component');
const { makeLogger } = require('./logger');
const { makeTask, emitter } = require('./task');

const MAX_WAITING = 1000;

function parseMessage(line) {
  let value = null;
  try {
    value = JSON.parse(line);
  } catch (error) {
    value = null;
  }
  if (!isObject(value) || value.type !== 'MESSAGE' || !isObject(value.message)) {
    throw new Failure('a line of the input is no MESSAGE line', 'config');
  }
  return value.message;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class Runner {
  constructor(step, lines) {
    this.step = step;
    this.lines = lines;
    this.process = exported(step.module, 'process');
    this.failFast = (step.session.context.on_error || 'fail') === 'fail';
    this.waiting = []; // rebounded: {line, attempt, reason, due}
    this.code = 0;
    if (typeof this.process !== 'function') {
      throw new Failure(`${step.found.definition.main} exports no function \`process\``, 'config');
    }
  }

  /** Call the component's init(), which only sailor knows. */
  async init() {
    const init = exported(this.step.module, 'init');
    if (this.step.dialect !== 'sailor' || typeof init !== 'function') {
      return;
    }
    const logger = makeLogger(this.step.output, null, {});
    const emit = () => Promise.resolve(false);
    // In sailor `this` is the module; some expect the `this` of process().
    const self = Object.assign(Object.create(Object(this.step.module)), makeTask(this.step, logger, emit));
    try {
      await init.call(self, this.step.session.cfg(this.step.dialect));
    } catch (error) {
      throw new Failure(`its init() failed: ${describe(error)}`, failureType(error));
    }
  }

  /** Process everything and return the exit code. */
  async all() {
    let line = await this.lines.next();
    if (line === null && this.step.found.kind === 'trigger') {
      await this.one({ line: null, attempt: 1, reason: null });
    }
    while (line !== null && !this.stopped()) {
      await this.one({ line, attempt: 1, reason: null });
      if (this.waiting.length >= MAX_WAITING) {
        await this.retryNext();
      }
      line = this.stopped() ? null : await this.lines.next();
    }
    while (this.waiting.length > 0 && !this.stopped()) {
      await this.retryNext();
    }
    if (!this.stopped()) {
      await this.step.idle.finish();
    }
    return this.code;
  }

  stopped() {
    return this.code !== 0;
  }

  async retryNext() {
    const next = this.waiting.reduce((a, b) => (b.due < a.due ? b : a));
    this.waiting.splice(this.waiting.indexOf(next), 1);
    await sleep(Math.max(0, next.due - Date.now()));
    await this.one(next);
  }

  async one(entry) {
    const input = entry.line === null ? {} : parseMessage(entry.line);
    const copy = toComponent(entry.line === null ? {} : parseMessage(entry.line), this.step.dialect);
    this.noteAttachments(input);
    const call = new Call(this.step, input, { message: copy, data: copy.data });
    const outcome = await call.run(() => this.invoke(call, copy, entry));
    if (outcome.failure) {
      this.failed(input, outcome.failure);
    } else if (outcome.rebound !== undefined) {
      this.rebound(entry, input, outcome.rebound);
    } else if (input.id !== undefined) {
      this.step.output.send({ type: 'RESULT', id: input.id });
    }
  }

  invoke(call, message, entry) {
    const { step } = this;
    const { session } = step;
    const logger = makeLogger(step.output, session.nodeSettings().logLevel, {
      flowId: session.context.flow, stepId: session.context.step, function: step.found.name, messageId: call.input.id,
    });
    const args = [message, session.cfg(step.dialect), step.snapshot.fresh()];
    if (step.dialect !== 'sailor') {
      args.push(this.headers(call.input, entry), session.tokenData(step.found.name));
    }
    return this.process.apply(makeTask(step, logger, emitter(call)), args);
  }

  headers(input, entry) {
    const { context } = this.step.session;
    const headers = { stepId: context.step, threadId: context.run_id, messageId: input.id, parentMessageId: input.id };
    if (entry.attempt > 1) {
      headers.reboundReason = entry.reason;
      headers.reboundIteration = entry.attempt - 1;
    }
    return headers;
  }

  noteAttachments(input) {
    if (isObject(input.attachments) && Object.keys(input.attachments).length > 0) {
      this.step.warnOnce('The messages have attachments; they are handed over as they are: nothing is fetched.');
    }
  }

  rebound(entry, input, reason) {
    const { rebound_limit: limit, rebound_initial: initial, rebound_max: max } = this.step.session.limits;
    if (entry.attempt > limit) {
      this.failed(input, { text: `rebound limit exceeded (${limit}): ${reason}`, failureType: 'transient', place: '' });
      return;
    }
    const seconds = Math.min(initial * Math.pow(2, entry.attempt - 1), max);
    const what = input.id === undefined ? 'The trigger' : `Message ${input.id}`;
    const count = `${entry.attempt} of ${limit}`;
    this.step.output.log('info', `${what} rebounded (${count}), tried again in ${seconds} s: ${reason}`);
    this.waiting.push({ line: entry.line, attempt: entry.attempt + 1, reason, due: Date.now() + seconds * 1000 });
  }

  failed(input, failure) {
    const event = { type: 'ERROR', message: failure.text, failure_type: failure.failureType };
    if (failure.place) {
      event.message += ` (at ${failure.place})`;
    }
    if (input.id !== undefined) {
      event.id = input.id;
    }
    this.step.output.send(event);
    if (this.failFast || input.id === undefined) {
      this.code = EXIT_CODES[failure.failureType];
    }
  }
}

// What went wrong where no call was there to take the blame: the batch may be incomplete.
function strayFailure(step) {
  const stray = step.late.concat(Array.from(step.guard.stray.values()));
  if (stray.length === 0) {
    return null;
  }
  return new Failure(`the component failed after its call was over: ${describe(stray[0])}`, failureType(stray[0]));
}

/** Run a function over the messages of the input and return the exit code. */
async function run(step, name, lines) {
  await step.load(name);
  const runner = new Runner(step, lines);
  await runner.init();
  const code = await runner.all();
  step.summarise();
  const stray = strayFailure(step);
  if (stray !== null && code === 0) {
    throw stray;
  }
  return code;
}

/** Run a trigger for the rows of a dropdown: nothing of it is remembered, and each row is a message. */
async function lookup(step, name, lines) {
  step.session.moreNodeSettings = { skipSnapshot: true };
  step.snapshot.silent = true;
  step.returnsRows = true;
  return run(step, name, lines);
}

module.exports = { run, lookup };
