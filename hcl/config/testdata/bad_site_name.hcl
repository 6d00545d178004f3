gateway {
  site = "Sub Station 7"
}
