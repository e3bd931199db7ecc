const commons = require('@elastic.io/component-commons-library');
const axios = require('axios');

exports.process = async function lookup(msg, cfg) {
  const { expression } = cfg;
  commons.Logger.getLogger().info('looking up');
  const { data } = await commons.axiosReqWithRetryOnServerError.call(this, {
    method: 'GET', url: `${cfg.server}/items/${msg.body.id}`,
  });
  const body = commons.JsonataTransform.jsonataTransform({ body: data }, { expression }, this);
  await this.emit('data', { body: axios ? body : null, headers: {} });
};
