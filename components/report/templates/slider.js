// Shows what was worked out for each threshold; works nothing out.
(() => {
  const data = JSON.parse(document.getElementById("decision-data").textContent);
  const slider = document.getElementById("threshold");
  const shown = document.querySelectorAll("#decision [data-figure]");
  const plot = document.getElementById("cost-plot");
  let waiting = false;
  const mark = () => {
    waiting = false;
    if (!plot.data) return; // not drawn yet
    const at = slider.value;
    Plotly.restyle(plot, { x: [[data.x[at]]], y: [[data.y[at]]] }, [data.mark]);
  };
  const show = () => {
    const at = slider.value;
    for (const element of shown) element.textContent = data.figures[element.dataset.figure][at];
    slider.setAttribute("aria-valuetext", data.figures.threshold[at]);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(mark);
  };
  slider.addEventListener("input", show);
  document.addEventListener("plots-drawn", show);
  for (const button of document.querySelectorAll("#decision button"))
    button.addEventListener("click", () => { slider.value = button.dataset.position; show(); });
  show();
})();
