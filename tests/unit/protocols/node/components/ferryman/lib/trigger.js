const log = require('@openintegrationhub/ferryman/lib/logging');
const { transform } = require('@openintegrationhub/ferryman');
const call = require('./http');

const paths = { getPersons: '/persons', getCompanies: '/companies' };

async function processTrigger(msg, cfg, snapshot, incomingMessageHeaders, tokenData) {
  console.log('cfg:', cfg);
  log.warn({ flow: tokenData.flowId }, 'reading %s', tokenData.function);
  const logger = this.logger;
  logger.level('debug');
  const { nodeSettings } = tokenData;
  const key = nodeSettings.snapshotKey;
  snapshot.lastUpdated = snapshot.lastUpdated || nodeSettings.initialSnapshot || 0;
  let newest = snapshot.lastUpdated;
  const metadata = {};
  for (let page = 1; page; ) {
    const answer = await call(cfg, 'GET', `${paths[tokenData.function]}?page=${page}`);
    answer.items.forEach((item) => {
      if (item[key] <= snapshot.lastUpdated) {
        return;
      }
      metadata.recordUid = item.id;
      newest = Math.max(newest, item[key]);
      const message = transform({ data: item, metadata }, { customMapping: cfg.customMapping }, false);
      this.emit('data', message);
    });
    logger.debug('page %d of %s', page, tokenData.function);
    page = answer.next;
  }
  snapshot.lastUpdated = newest;
  if (!nodeSettings.skipSnapshot) {
    await this.emit('snapshot', snapshot);
  }
  await this.emit('end');
}

module.exports = { process: processTrigger };
