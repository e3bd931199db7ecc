const log = require('@openintegrationhub/ferryman/lib/logging');
const { transform } = require('@openintegrationhub/ferryman');
const call = require('./http');

// As the component generator writes them: a snapshot key, and one message for each record that is newer.
async function processTrigger(msg, cfg, snapshot, incomingMessageHeaders, tokenData) {
  log.info({ flow: tokenData.flowId }, 'reading %s', tokenData.function);
  snapshot.lastUpdated = snapshot.lastUpdated || 0;
  const persons = await call(cfg, 'GET', `/records?since=${snapshot.lastUpdated}`);
  persons.forEach((person) => {
    snapshot.lastUpdated = Math.max(snapshot.lastUpdated, person.updated);
    const message = { data: person, metadata: { recordUid: person.id } };
    this.emit('data', transform(message, { customMapping: cfg.customMapping }, false));
  });
  this.logger.info('%d persons', persons.length);
  await this.emit('snapshot', snapshot);
  await this.emit('end');
}

module.exports = { process: processTrigger };
