'use strict';

// When a call is over: its process() has settled and nothing that it started is still going on.
//
// Node says so by `beforeExit`: the event loop has nothing left. A component that keeps a connection pool or an
// interval open never gets there. The first time, we wait until it has been quiet for a while; what is open then
// counts as its furniture, and later calls end as soon as only furniture is left.
//
// Timers of a call that has failed are not waited for: it is told as failed whatever comes of them. (Connectors are
// known to go on retrying in the background what they have reported as failed.)

const POLL_MS = 50;
const FAILED_MS = 50;
const SHORTEST_GRACE_MS = 500;

function handles() {
  const all = typeof process._getActiveHandles === 'function' ? process._getActiveHandles() : [];
  return all.filter((handle) => handle && handle.fd !== 0 && handle.fd !== 1 && handle.fd !== 2);
}

function requestCount() {
  return typeof process._getActiveRequests === 'function' ? process._getActiveRequests().length : 0;
}

function timerCount() {
  if (typeof process.getActiveResourcesInfo !== 'function') {
    return 0;
  }
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'Immediate').length;
}

// Before Node 11 timers were handles.
function isTimer(handle) {
  return Boolean(handle.constructor) && handle.constructor.name === 'Timer';
}

// A request that waits for its answer, or a child process, is work and not furniture.
function isWork(handle) {
  return Boolean(handle._httpMessage) || (handle.constructor && handle.constructor.name === 'ChildProcess');
}

class Idle {
  constructor(graceSeconds, onLinger) {
    this.graceMs = graceSeconds * 1000;
    this.onLinger = onLinger;
    this.furniture = null;
    this.timers = 0;
    this.drained = null;
    process.on('beforeExit', () => {
      const { drained } = this;
      if (drained !== null) {
        this.drained = null;
        setImmediate(drained); // also keeps the process alive until the next thing is started
      }
    });
  }

  /** Whether nothing but furniture is open; never before the first long wait. */
  onlyFurniture() {
    return this.furniture !== null && requestCount() === 0 && timerCount() <= this.timers
      && handles().every((handle) => this.furniture.has(handle));
  }

  /** Whether nothing new is open but timers. */
  onlyTimers() {
    const known = this.furniture || new Set();
    return requestCount() === 0 && handles().every((handle) => known.has(handle) || isTimer(handle));
  }

  learn() {
    this.furniture = new Set(handles());
    this.timers = timerCount();
  }

  /**
   * Wait for the end of a call.
   *
   * `call` has `settled` (its process() is done), `failed`, `activity` (a number that grows), and the methods
   * `onSettled(callback)`, `starve()` (nothing is left that could settle it) and `expire()` (its time is up).
   */
  wait(call, timeoutSeconds) {
    return new Promise((resolve) => {
      const timers = [];
      const done = () => {
        timers.forEach(clearTimeout);
        this.drained = null;
        resolve();
      };
      const later = (ms, callback) => {
        const timer = setTimeout(callback, ms);
        timer.unref(); // our own clock must not keep the loop alive
        timers.push(timer);
      };
      this.drained = () => {
        if (!call.settled) {
          call.starve();
        }
        done();
      };
      if (timeoutSeconds > 0) {
        later(timeoutSeconds * 1000, () => {
          call.expire(timeoutSeconds);
          this.learn();
          done();
        });
      }
      call.onSettled(() => setImmediate(() => {
        const now = Date.now();
        this.poll(call, later, done, { start: now, since: now, first: call.activity, activity: call.activity });
      }));
    });
  }

  poll(call, later, done, quiet) {
    if (this.onlyFurniture()) {
      done();
      return;
    }
    if (call.failed && Date.now() - quiet.start >= Math.min(FAILED_MS, this.graceMs) && this.onlyTimers()) {
      this.learn();
      done();
      return;
    }
    const busy = requestCount() > 0 || handles().some(isWork) || call.activity !== quiet.activity;
    const since = busy ? Date.now() : quiet.since;
    if (Date.now() - since >= this.graceMs) {
      if (this.furniture === null) {
        this.onLinger();
      }
      this.learn();
      if (call.activity === quiet.first) { // the wait was for nothing: be quicker the next time
        this.graceMs = Math.max(this.graceMs / 2, Math.min(this.graceMs, SHORTEST_GRACE_MS));
      }
      done();
      return;
    }
    const { start, first } = quiet;
    later(POLL_MS, () => this.poll(call, later, done, { start, first, since, activity: call.activity }));
  }

  /** Wait for what may go on unseen: without a count of timers, furniture can hide work that only waits. */
  async finish() {
    if (this.furniture !== null && typeof process.getActiveResourcesInfo !== 'function') {
      await new Promise((resolve) => setTimeout(resolve, this.graceMs));
    }
  }
}

module.exports = { Idle };
