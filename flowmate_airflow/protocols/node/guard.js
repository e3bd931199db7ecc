'use strict';

// What a component may do to the whole process: throw where nobody catches, reject where nobody waits, or end it.

const { describe, failureType, EXIT_CODES } = require('./failures');

const EXIT_TERMINATED = 143;
const EXIT_BROKEN_PIPE = 141;
const realExit = process.exit.bind(process);

// The first frame of a stack that is neither Node's nor ours.
function callerPlace() {
  const lines = String(new Error().stack).split('\n').slice(1);
  const foreign = (line) => line.includes('/') && !line.includes(__dirname) && !/\(?node:|internal\//.test(line);
  const found = lines.find(foreign);
  const match = found && /\(?([^\s()]+:\d+):\d+\)?$/.exec(found);
  return match ? ` at ${match[1].replace('file://', '').replace(`${process.cwd()}/`, '')}` : '';
}

class Guard {
  constructor(output, noise) {
    this.output = output;
    this.noise = noise;
    this.current = null; // the call whose work is going on
    this.leaving = false;
    this.stray = new Map(); // rejections that belong to no call
  }

  install() {
    process.exit = (code) => this.exitCalled(code);
    process.on('exit', (code) => this.exiting(code));
    process.on('uncaughtException', (error) => this.uncaught(error));
    process.on('unhandledRejection', (reason, promise) => this.rejections().set(promise, reason));
    process.on('rejectionHandled', (promise) => this.handled(promise));
    process.on('SIGTERM', () => this.leave(EXIT_TERMINATED));
  }

  rejections() {
    return this.current === null ? this.stray : this.current.rejections;
  }

  // A promise that failed before anybody waited for it, and now somebody does.
  handled(promise) {
    this.stray.delete(promise);
    if (this.current !== null) {
      this.current.rejections.delete(promise);
    }
  }

  uncaught(error) {
    if (this.leaving) {
      return;
    }
    if (this.current !== null) {
      this.current.crash(error);
      return;
    }
    const type = failureType(error);
    this.fail(`the component threw outside of a call: ${describe(error)}`, type);
    this.leave(EXIT_CODES[type]);
  }

  fail(text, type) {
    this.output.send({ type: 'ERROR', message: text, failure_type: type || 'system' });
  }

  exitCalled(code) {
    if (!this.leaving) {
      const during = this.current === null ? '' : `, ${this.current.label()}`;
      this.fail(`the component called process.exit(${code === undefined ? '' : code})${callerPlace()}${during}; `
        + 'its work may be incomplete');
    }
    this.leave(1);
  }

  exiting() {
    if (this.leaving) {
      return;
    }
    this.leaving = true;
    this.fail('the component ended the process before its work was done');
    this.noise.flush();
    this.output.flush();
    process.exitCode = 1;
  }

  /** End this process because the host has gone: there is nobody to work for. */
  abandon() {
    this.leaving = true;
    realExit(EXIT_BROKEN_PIPE);
  }

  /** End this process, with everything written. */
  leave(code) {
    this.leaving = true;
    this.noise.flush();
    this.output.flush();
    realExit(code);
  }
}

module.exports = { Guard };
