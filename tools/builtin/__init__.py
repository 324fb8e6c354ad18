"""The tools that come with offhook: `current_time` runs inline, `order_status` as a job."""
