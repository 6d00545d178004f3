# Every weakened defence is written down, with a reason, a name and an end date. `sluice status` lists them, 30 days
# before the end there is a warning, and after the last day the receiver closes.

exception "trial-plain-udp" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.syslog
  reason      = "trial on the loopback interface: nothing leaves this machine"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}

exception "trial-plain-tcp" {
  allows      = "unencrypted_tcp"
  on          = receiver.tcp.syslog
  reason      = "trial on the loopback interface: nothing leaves this machine"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}
