// Runs a compiled package, wherever it is: its self-test, then a greedy continuation with its packed weights.
export async function exercise(adapter, packageUrl, prompt, maxTokens) {
  const { openDevice } = await import(`${packageUrl}/model.js`);
  return exerciseOn(await openDevice(adapter), packageUrl, prompt, maxTokens);
}

export async function exerciseOn(device, packageUrl, prompt, maxTokens) {
  const { load, selfTest, modelName, copies } = await import(`${packageUrl}/model.js`);
  const test = await selfTest(device);
  const model = await load(device, "packed");
  const session = await model.openSession({ context: prompt.length + maxTokens });
  const ids = [];
  for await (const { id } of session.generate([prompt], { maxTokens })) ids.push(id);
  session.close();
  model.close();
  return { modelName, copies, ids, test, adapter: device.name };
}
